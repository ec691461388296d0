"""Work and memory that processes of one machine share."""
