"""`python -m synthseg` is `synthseg`."""

from synthseg.cli import main

main()
