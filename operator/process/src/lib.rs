//! What every process needs: logs, metrics, health, signals.
