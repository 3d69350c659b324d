"""Storey 4: whole models."""

from hinged.model.animate import animate as animate
from hinged.model.calibrate import Calibration as Calibration
from hinged.model.calibrate import calibrate as calibrate
from hinged.model.diagnose import Diagnosis as Diagnosis
from hinged.model.diagnose import LayerDiagnosis as LayerDiagnosis
from hinged.model.diagnose import curves as curves
from hinged.model.diagnose import diagnose as diagnose
from hinged.model.files import load_curves as load_curves
from hinged.model.files import save_curves as save_curves
from hinged.model.freeze import Trained as Trained
from hinged.model.freeze import train_only as train_only
from hinged.model.history import History as History
from hinged.model.move import Moved as Moved
from hinged.model.observe import Histogram as Histogram
from hinged.model.observe import LineCounts as LineCounts
from hinged.model.observe import Moments as Moments
from hinged.model.observe import Summary as Summary
from hinged.model.observe import across_processes as across_processes
from hinged.model.plot import plot as plot
from hinged.model.warm_up import WarmUp as WarmUp
from hinged.model.warm_up import warm_up as warm_up
from hinged.model.watch import Seen as Seen
from hinged.model.watch import watch as watch
from hinged.model.watching import Watching as Watching
from hinged.model.watching import watching as watching
