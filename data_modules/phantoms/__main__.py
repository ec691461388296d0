"""Write phantoms without training: `python -m data_modules.phantoms chest data/phantoms/chest --num_train=4000`."""

from jsonargparse import auto_cli

from data_modules.phantoms import write_breast_phantoms, write_chest_phantoms

if __name__ == "__main__":
    auto_cli({"chest": write_chest_phantoms, "breast": write_breast_phantoms})
