# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for a Hyperledger Besu node: a process that answers as recordings of a real one do.

It simulates a QBFT network of such processes well enough for tests of tools that watch and operate Besu fleets.
It executes no transactions and its seals are no signatures.
"""
