"""Images, videos and bags in. Annotated images, videos and tables out."""
