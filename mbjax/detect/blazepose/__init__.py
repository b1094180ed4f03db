"""BlazePose (Bazarevsky et al., arXiv 2006.10204): a net that finds persons, a net of 33 landmarks.

The two nets are Google's, Apache-2.0 (NOTICE.txt beside them), run by LiteRT. What stands round
them is this project's own: anchors.py and persons.py decode the first net, region.py cuts a person
out, landmarks.py runs and decodes the second.
"""
