"""What is promised, kept and broken. Pure: facts, policies, calendars and `now` in; clocks and the facts about them out."""
