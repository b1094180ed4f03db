"""What is drawn: PNG, GIF, MP4, a web page. May import motion, keypoints, body and pose."""
