"""Machines: what one of them has (doctor), and how runs get onto many of them."""
