"""Studies: arms x seeds, paired statistics and a report. Import from the submodules; the command line stays light."""
