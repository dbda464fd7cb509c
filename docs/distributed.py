"""Train one model in as many processes as torchrun starts; the first one evaluates and saves it."""

import sys

import torch
from accelerate import Accelerator

import fairvision as fv

# On a machine without GPUs, accelerate wants to be told so. On one with: mixed_precision="bf16".
accelerator = Accelerator(cpu=not torch.cuda.is_available())

# Every process loads all rows, the same in the same order. Of lazy images, as those of a folder,
# it reads the pixels of its own rows only.
faces = fv.datasets.load(
    "faces", n_samples=300, image_size=24, target="smiling", sensitive="skin_group", random_state=0
)
X, y, groups = faces.images, faces.target, faces.sensitive_features

model = fv.make("erm", max_epochs=2, batch_size=64, accelerator=accelerator, random_state=0)
model.fit(X, y, sensitive_features=groups)

# All processes have the same model now; one is enough to go on.
if accelerator.is_main_process:
    report = fv.evaluate(model, X, y, sensitive_features=groups, random_state=0)
    fv.save(model, sys.argv[1], evaluation=report)
accelerator.wait_for_everyone()
accelerator.end_training()
