"""The same pictures and texts for every client."""

import numpy as np

from tests.server.pictures import base64_of, encode, picture

TEXTS = ["cat", "a red square", "Ünïcode"]
PICTURES = [picture(96, 80, 1), picture(96, 80, 2)]
ENCODED = [encode(image, "PNG") for image in PICTURES]
BASE64 = [base64_of(one) for one in ENCODED]
PIXELS = np.stack([np.asarray(image) for image in PICTURES])
TOLERANCE = 2e-3  # between our preparation of images and the reference library's
SAME = 1e-5  # between two ways to ask the same server
