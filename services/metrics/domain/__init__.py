"""What the facts measure: folds of tickets, promises and agents, and the cells that their measures add up in. Pure."""
