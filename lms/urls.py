"""Two doors: the admin for staff, one view for Daraja."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from lms import views
from lms.backoffice import files

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/files/<path:path>", admin.site.admin_view(files.serve), name="file"),
    path("admin/", admin.site.urls),
    path("daraja/<str:secret>/<str:kind>/", views.daraja_callback, name="daraja"),
    path("healthz", views.healthz, name="healthz"),
]
