"""One ml_collections file per task; `get_config(variant)`."""
