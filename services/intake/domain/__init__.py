"""What intake decides: pure functions over facts that were loaded. `decide.py` is the heart."""
