"""Put tuning a noise schedule, sampled or trained, beside Ray Tune's searches.

    python jobs/compare_schedule.py --config jobs/configs/compare_knots4.yaml [--resume]

The same as `raybilevel compare`, as an entry point for `ray job submit --working-dir . --`.
"""

from __future__ import annotations

import sys

from raybilevel.cli.main import main

if __name__ == "__main__":
    sys.argv[1:] = ["compare", *(a for a in sys.argv[1:] if a != "--config")]
    main()
