"""Files of others in common formats, read in bounded memory, running nothing in them."""
