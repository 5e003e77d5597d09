"""Acknowledges every command at once, as ExaBGP 5 would: commands on stdin, answers on stdout."""

import sys

ANSWERS = {
    "version": "exabgp 5.0.15\ndone\n",
    "show neighbor summary": "Peer            AS        up/down state       |     #sent     #recvd\ndone\n",
}


def main() -> None:
    """Until the agent ends."""
    for line in sys.stdin:
        words = line.strip()
        if words and words != "reset" and not words.startswith("#"):
            sys.stdout.write(ANSWERS.get(words, "done\n"))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
