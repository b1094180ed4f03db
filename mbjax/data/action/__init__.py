"""Labelled recordings: records, clips cut from them, persons, augmentation. As room `data`."""
