"""Learn the noise schedule while the score network trains.

    python jobs/train_schedule.py --config jobs/configs/train_digits.yaml [key=value ...]

The same as `raybilevel run`, as an entry point for `ray job submit --working-dir . --`.
"""

from __future__ import annotations

import sys

from raybilevel.cli.main import main

if __name__ == "__main__":
    sys.argv[1:] = ["run", *(a for a in sys.argv[1:] if a != "--config")]
    main()
