"""Two doors: the admin for staff, one view for Daraja."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from lms import views
from lms.backoffice import files
from lms.backoffice.reports import views as reports

urlpatterns = [
    path(f"{views.DOOR}<str:secret>/<str:kind>/", views.daraja_callback, name="daraja"),
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/files/<path:path>", admin.site.admin_view(files.serve), name="file"),
    path("admin/reports/<slug:name>/", admin.site.admin_view(reports.show), name="report"),
    path(
        "admin/reports/<slug:name>/<slug:extension>/",
        admin.site.admin_view(reports.download),
        name="report_file",
    ),
    path("admin/", admin.site.urls),
    path("healthz", views.healthz, name="healthz"),
]
