"""The fault table of the design, through the command and real HTTP."""
