"""`python -m fashionlib`, for `torchrun` and for machines without the script on the path."""

from fashionlib.cli import main

main()
