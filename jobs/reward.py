"""Tune the KL strength or the reward weights of a model.

    python jobs/reward.py --config jobs/configs/reward.yaml [key=value ...] [--resume]

The same as `raybilevel run`, as an entry point for `ray job submit --working-dir . --`.
"""

from __future__ import annotations

import sys

from raybilevel.cli.main import main

if __name__ == "__main__":
    sys.argv[1:] = ["run", *(a for a in sys.argv[1:] if a != "--config")]
    main()
