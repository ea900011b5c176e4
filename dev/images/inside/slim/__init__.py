"""Takes out of an installed CUDA build of PyTorch what a process without a GPU never reads.

The CPU image exists so that a laptop or a CI runner can test the real server, on the same locked wheels, without moving
5 GB about. Two things make a CUDA build of PyTorch big on a machine that has no GPU:

1. libraries that only a GPU call reaches (cuBLAS, cuFFT, NCCL, cuDNN …). libtorch_cuda.so names them as needed, so the
   dynamic loader maps them at every start. Nothing calls them: torch binds functions lazily, so it is enough to take
   the names out of the list and to let their symbols be absent (weak);
2. bytes inside the remaining libraries that nobody maps or reads: GPU machine code and the symbol tables for debuggers.

The GPU image is left exactly as PyTorch published it.
"""
