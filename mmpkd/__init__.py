"""Experiments on multimodal privileged knowledge distillation in medical imaging."""

__version__ = "0.1.0"
