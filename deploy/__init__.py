"""How Patchbay is run: here on one machine with `deploy.local`, elsewhere with servers of your own."""
