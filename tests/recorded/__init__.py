"""What other systems recorded, run through the real code: `make fixtures` says how much of it comes out as expected."""
