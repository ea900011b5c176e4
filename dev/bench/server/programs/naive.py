"""What most tutorials show: FastAPI, an async handler, a multipart form, a blocking call into the model."""

from typing import Annotated

import uvicorn
from fastapi import FastAPI, File, Form, UploadFile

from dev.bench.server.programs.inference import PORT, Classifier

app = FastAPI()
classifier = Classifier()


@app.post("/predict")
async def predict(image: Annotated[UploadFile, File()], labels: Annotated[str, Form()]) -> dict[str, list[float]]:
    """The probability of each label."""
    pixels = classifier.prepare(await image.read())
    return {"scores": classifier.classify([pixels], [labels.split(",")])[0]}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", access_log=False)
