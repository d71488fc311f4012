"""Put tuning the KL strength or reward weights beside Ray Tune's searches.

    python jobs/compare_reward.py --config jobs/configs/compare_lambda.yaml [--resume]

The same as `raybilevel compare`, as an entry point for `ray job submit --working-dir . --`.
"""

from __future__ import annotations

import sys

from raybilevel.cli.main import main

if __name__ == "__main__":
    sys.argv[1:] = ["compare", *(a for a in sys.argv[1:] if a != "--config")]
    main()
