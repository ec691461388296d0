"""The explorer of a study: a page with every scored test image and its maps in all arms, to question a result with."""
