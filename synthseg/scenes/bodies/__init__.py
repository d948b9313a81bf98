"""Parametric bodies of the 20 VOC classes, one builder a class."""

from __future__ import annotations

from synthseg.scenes.bodies.aeroplane import aeroplane
from synthseg.scenes.bodies.bicycle import bicycle
from synthseg.scenes.bodies.bird import bird
from synthseg.scenes.bodies.boat import boat
from synthseg.scenes.bodies.bottle import bottle
from synthseg.scenes.bodies.bus import bus
from synthseg.scenes.bodies.car import car
from synthseg.scenes.bodies.cat import cat
from synthseg.scenes.bodies.chair import chair
from synthseg.scenes.bodies.cow import cow
from synthseg.scenes.bodies.diningtable import diningtable
from synthseg.scenes.bodies.dog import dog
from synthseg.scenes.bodies.horse import horse
from synthseg.scenes.bodies.motorbike import motorbike
from synthseg.scenes.bodies.person import person
from synthseg.scenes.bodies.pottedplant import pottedplant
from synthseg.scenes.bodies.sheep import sheep
from synthseg.scenes.bodies.sofa import sofa
from synthseg.scenes.bodies.train import train
from synthseg.scenes.bodies.tvmonitor import tvmonitor
from synthseg.scenes.parts import BodyBuilder

BUILDERS: dict[str, BodyBuilder] = {
    "aeroplane": aeroplane,
    "bicycle": bicycle,
    "bird": bird,
    "boat": boat,
    "bottle": bottle,
    "bus": bus,
    "car": car,
    "cat": cat,
    "chair": chair,
    "cow": cow,
    "diningtable": diningtable,
    "dog": dog,
    "horse": horse,
    "motorbike": motorbike,
    "person": person,
    "pottedplant": pottedplant,
    "sheep": sheep,
    "sofa": sofa,
    "train": train,
    "tvmonitor": tvmonitor,
}
"""Builder of each class by its canonical VOC name."""
