"""The visible reply of a mail: what its writer added, apart from what is quoted, signed or appended by machines."""
