"""Carries out a plan: works out what is left to do or can be reused, and does the rest here or in workers.

- What is left: state, todo, reuse, looks (blocks of seeds); preflight checks inputs, proof_process tries an encoder.
- Handing out runs: place, carry_out, dispatch, flight, jobs, worker; alone keeps a second sweep out.
- Workers: pool (what is required of them); local_pool and gpu_sharing on this machine; on_cluster, clusters,
  remote_pool, job_queue and survey elsewhere, with certificates from protection; cluster_check tries a cluster.
- fast_products: matrix products with an AMD processor's full instruction set.
- Inputs that workers lack: shipped_inputs, shipping, parcels, turns.
- What goes wrong: accidents, failures, early_ends (of jobs), interrupts.
"""
