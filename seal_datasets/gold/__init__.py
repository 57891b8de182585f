"""Gold labels by people: which prompts to label, the page and the sheet to label on, and how many are needed."""
