"""Machines: what they have (doctor), and Ray on one or many of them."""
