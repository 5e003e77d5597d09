"""``python -m exavrrp``."""

from exavrrp.cli import main

if __name__ == "__main__":
    main()
