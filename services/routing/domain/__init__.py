"""What routing decides, pure: which queue, which agent, who owns a ticket, and what an agent may do to it."""
