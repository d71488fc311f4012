"""What is drawn, and the tables that people keep it in."""
