"""Train the GAN of the evidence once, and keep it: ``python benchmarks/latent_gan.py --out DIR``.

``--data faces`` (default) or ``--data utkface --root DIR``. Prints the time and what the critic
says at the end; DIR then holds the generator, a checkpoint, and a sheet of images a stage.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from latent_data import add_arguments, load

from fairvision_latent import ProgressiveGAN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("--out", required=True, help="a folder")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--final-images", type=int, help="shown at full size; None: the preset's")
    args = parser.parse_args()
    torch.set_num_threads(1)
    images, _, _ = load(args.data, args.root).train
    began, used = time.perf_counter(), time.process_time()
    more = {} if args.final_images is None else {"final_images": args.final_images}
    gan = ProgressiveGAN.from_preset(
        args.preset, checkpoint=Path(args.out), random_state=0, verbose=1, **more
    ).fit(images)
    gan.save(args.out)
    wall, used = time.perf_counter() - began, time.process_time() - used
    print(f"{len(images)} images: {wall:.0f} s, {used:.0f} s of the processor")
    print(gan.history_[-1])


if __name__ == "__main__":
    main()
