"""The learners: basis, statistics, optimiser steps, trees, and the Booster file they end in. Pure."""
