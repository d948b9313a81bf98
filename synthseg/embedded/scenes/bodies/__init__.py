"""Parametric bodies of the 20 VOC classes, one builder a class."""

from __future__ import annotations

from synthseg.embedded.scenes.bodies.aeroplane import aeroplane
from synthseg.embedded.scenes.bodies.bicycle import bicycle
from synthseg.embedded.scenes.bodies.bird import bird
from synthseg.embedded.scenes.bodies.boat import boat
from synthseg.embedded.scenes.bodies.bottle import bottle
from synthseg.embedded.scenes.bodies.bus import bus
from synthseg.embedded.scenes.bodies.car import car
from synthseg.embedded.scenes.bodies.cat import cat
from synthseg.embedded.scenes.bodies.chair import chair
from synthseg.embedded.scenes.bodies.cow import cow
from synthseg.embedded.scenes.bodies.diningtable import diningtable
from synthseg.embedded.scenes.bodies.dog import dog
from synthseg.embedded.scenes.bodies.horse import horse
from synthseg.embedded.scenes.bodies.motorbike import motorbike
from synthseg.embedded.scenes.bodies.person import person
from synthseg.embedded.scenes.bodies.pottedplant import pottedplant
from synthseg.embedded.scenes.bodies.sheep import sheep
from synthseg.embedded.scenes.bodies.sofa import sofa
from synthseg.embedded.scenes.bodies.train import train
from synthseg.embedded.scenes.bodies.tvmonitor import tvmonitor
from synthseg.embedded.scenes.parts import BodyBuilder

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
