"""Storey 4: whole models."""

from hinged.model.calibrate import Calibration as Calibration
from hinged.model.calibrate import Moved as Moved
from hinged.model.calibrate import calibrate as calibrate
from hinged.model.convert import convert as convert
from hinged.model.convert import revert as revert
from hinged.model.convert import sites as sites
from hinged.model.diagnose import Diagnosis as Diagnosis
from hinged.model.diagnose import LayerDiagnosis as LayerDiagnosis
from hinged.model.diagnose import curves as curves
from hinged.model.diagnose import diagnose as diagnose
from hinged.model.files import load_curves as load_curves
from hinged.model.files import save_curves as save_curves
from hinged.model.freeze import Trained as Trained
from hinged.model.freeze import train_only as train_only
from hinged.model.observe import Histogram as Histogram
from hinged.model.observe import LineCounts as LineCounts
from hinged.model.observe import Moments as Moments
from hinged.model.observe import Summary as Summary
from hinged.model.observe import across_processes as across_processes
from hinged.model.plot import plot as plot
from hinged.model.sites import Site as Site
from hinged.model.sites import Sites as Sites
from hinged.model.watch import Seen as Seen
from hinged.model.watch import watch as watch
