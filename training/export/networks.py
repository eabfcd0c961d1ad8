"""Every network that can be exported, and whose module draws its graph."""

from training.export import graph as graphs
from training.export.bands import band_graph
from training.export.graph import Graph
from training.export.signals import signal_graph
from training.export.speech import speech_graph
from training.nn.bands import BandForecaster
from training.nn.signals import SignalNetwork
from training.nn.speech import Listener

Network = graphs.Network | SignalNetwork | Listener | BandForecaster


def build_graph(network: Network) -> Graph:
    """The graph of a trained network, with the names that the manifest will say."""
    match network:
        case SignalNetwork():
            return signal_graph(network)
        case Listener():
            return speech_graph(network)
        case BandForecaster():
            return band_graph(network)
        case _:
            return graphs.build_graph(network)
