"""The Space of this metric: upload a table, map its columns, read the numbers."""

from seal_datasets.evaluate_modules.app import build_app

app = build_app("reward_calibration")

if __name__ == "__main__":
    app.launch()
