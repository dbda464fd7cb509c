"""A fitted estimator with everything that turns picture files into its predictions."""

from fairvision.models.image_model import ImageModel
from fairvision.models.pictures import picture_files

__all__ = ["ImageModel", "picture_files"]
