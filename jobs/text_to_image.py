"""Tune the KL strength or the reward weights of a text-to-image or class-conditional model.

    python jobs/text_to_image.py --config jobs/configs/prompts.yaml [key=value ...] [--resume]

The same as `raybilevel run`, as an entry point for `ray job submit --working-dir . --`. Needs the
extra `text`.
"""

from __future__ import annotations

import sys

from raybilevel.cli.main import main

if __name__ == "__main__":
    sys.argv[1:] = ["run", *(a for a in sys.argv[1:] if a != "--config")]
    main()
