"""Tune the noise levels that a trained model is sampled at.

    python jobs/sampling_schedule.py --config jobs/configs/sampling_schedule.yaml [key=value ...]

The same as `raybilevel run`, as an entry point for `ray job submit --working-dir . --`.
"""

from __future__ import annotations

import sys

from raybilevel.cli.main import main

if __name__ == "__main__":
    sys.argv[1:] = ["run", *(a for a in sys.argv[1:] if a != "--config")]
    main()
