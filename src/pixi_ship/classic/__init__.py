"""The classic route: text from which Docker, Apptainer or CI make an image with Pixi itself.

What is rendered follows the published two-stage recipe (reproducible-ml-workflows,
``pixi-deployment.md``; CHTC templates-GPUs, ``containers/pixi``): install the locked environment
in one image, copy it with its activation into another.
"""
