"""`python -m bagline`: the same as the `bagline` command."""

from bagline.cli.main import run

if __name__ == "__main__":
    run()
