"""The explorer of a study: one page with every scored test image and its maps in all arms, to question a result with."""
