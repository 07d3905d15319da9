"""A Daraja on this machine, which plays Safaricom for the demo and the tests.

Standard library only; it knows nothing of the office it talks to.
"""

from lms.mpesa.simulator.server import Simulator

__all__ = ["Simulator"]
