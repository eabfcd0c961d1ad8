"""`python -m service`. Knows how to die before it knows anything else."""

import signal
import sys


def _leave(*_: object) -> None:
    sys.exit(0)


# The first process of a container has no default reaction to signals: until the server installs
# its own, which drains, a SIGTERM would go unheard. Hence before the imports, which take a second.
signal.signal(signal.SIGTERM, _leave)

if __name__ == "__main__":
    from service.process import main

    sys.exit(main())
